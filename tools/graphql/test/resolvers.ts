import { UseGuards } from '@nestjs/common';
import {
  Args,
  Field,
  ID,
  Int,
  Mutation,
  ObjectType,
  Parent,
  Query,
  ResolveField,
  Resolver,
} from '@nestjs/graphql';
import { GraphQLScalarType } from 'graphql';
import {
  AllowIssuers,
  RequireSubject,
  ServiceCaller,
  type ServiceIdentity,
  ServiceJwtGuard,
  ServiceSubject,
  SkipServiceAuth,
} from 'nestjs-service-auth';
import { text } from 'node:stream/consumers';

@ObjectType()
export class Person {
  @Field(() => ID)
  id!: string;
  @Field(() => String, { nullable: true })
  secret?: string;
}

interface FileUpload {
  createReadStream(): NodeJS.ReadableStream;
}

/** The scalar of graphql-upload and of its minimal copy, which differ in their classes alone. */
export const UploadScalar = new GraphQLScalarType<Promise<FileUpload>>({
  name: 'Upload',
  parseValue: (value) => (value as { promise: Promise<FileUpload> }).promise,
});

@Resolver(() => Person)
@UseGuards(ServiceJwtGuard)
export class PersonResolver {
  readonly handled: string[] = [];

  @Query(() => String)
  plain(): string {
    this.handled.push('plain');
    return 'plain';
  }
  @Query(() => String, { nullable: true })
  subject(@ServiceSubject() subject: string): string {
    this.handled.push('subject');
    return subject;
  }
  @Query(() => String, { nullable: true })
  issuer(@ServiceCaller() caller: ServiceIdentity | undefined): string | undefined {
    this.handled.push('issuer');
    return caller?.issuer;
  }
  @Query(() => String, { nullable: true })
  @AllowIssuers('https://archive.service/')
  forArchive(): string {
    this.handled.push('forArchive');
    return 'for archive';
  }
  @Query(() => String, { nullable: true })
  @RequireSubject()
  forUsers(): string {
    this.handled.push('forUsers');
    return 'for users';
  }
  @Query(() => String, { nullable: true })
  @SkipServiceAuth()
  open(): string {
    this.handled.push('open');
    return 'open';
  }
  @Query(() => [Person])
  people(@Args('count', { type: () => Int }) count: number): Person[] {
    return Array.from({ length: count }, (_, index) => ({ id: String(index) }));
  }
  @ResolveField(() => String, { nullable: true })
  @AllowIssuers('https://archive.service/')
  secret(@Parent() { id }: Person, @ServiceCaller() { issuer }: ServiceIdentity): string {
    return `secret of ${id} for ${issuer}`;
  }
  @Mutation(() => String)
  async keep(
    @Args('file', { type: () => UploadScalar }) file: Promise<FileUpload>,
  ): Promise<string> {
    const { createReadStream } = await file;
    this.handled.push('keep');
    return await text(createReadStream());
  }
}

/** A hundred fields in one query. */
export const HUNDRED = Array.from({ length: 100 }, (_, index) => `f${index}: plain`).join(' ');
